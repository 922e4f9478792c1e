-- What docs/deploy and the Dockerfile name exists: commands, flags, keys, variables, addresses. Files that name what is not there are found by
-- whoever deploys, in the night.
local process = require "process"

local ROOT = os.getenv "MOONLOOM_ROOT"

local function read(path)
  local file = assert(io.open(ROOT .. "/" .. path))
  local text = file:read "*a"
  file:close()
  return text
end

local function output(command)
  local pipe = assert(io.popen("(" .. command .. ") 2>&1; code=$?; echo; echo status=$code"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local bin = os.getenv "MOONLOOM_BIN"
local FILES = {
  "Dockerfile", "docs/deploy/README.md", "docs/deploy/moonloom.service", "docs/deploy/nginx.conf", "docs/deploy/haproxy.cfg",
  "docs/deploy/compose/compose.yaml", "docs/deploy/compose/nginx.conf", "docs/deploy/compose/moonloom.lua", "docs/deploy/compose/secrets.env.example",
}

describe("docs/deploy", function()
  it("names commands and flags that the program has", function()
    local help, checked = output(bin .. " help"), 0
    for _, path in ipairs(FILES) do
      -- As a line of words, whether it stands in a shell's line or in a JSON array.
      local text = read(path):gsub('", ?"', " "):gsub('[%[%]"`|]', " ")
      for command, rest in text:gmatch "moonloom ([a-z-]+)([^\n]*)" do
        local section = help:match("moonloom " .. command:gsub("%-", "%%-") .. " ([^\n]*)")
        if section and (rest:find "%-%-" or command == "serve" or command == "migrate" or command == "health") then
          for flag in rest:gmatch "%-%-[a-z-]+" do
            assert(section:find(flag, 1, true) or flag == "--config" or flag == "--data", path .. ": moonloom " .. command .. " has no " .. flag)
            checked = checked + 1
          end
        end
      end
    end
    assert(checked >= 6, "only " .. checked .. " flags were found: this looks at nothing")
  end)

  it("names variables that the program reads", function()
    local sources = output("cat " .. ROOT .. "/src/server/*.c")
    local checked = 0
    for _, path in ipairs(FILES) do
      for name in read(path):gmatch "MOONLOOM_[A-Z_]+" do
        assert(sources:find('"' .. name .. '"', 1, true), path .. ": nobody reads " .. name)
        checked = checked + 1
      end
    end
    assert(checked >= 8, "only " .. checked .. " variables were found")
  end)

  it("names keys that the configuration has", function()
    local text = output(bin .. " check-config " .. ROOT .. "/docs/deploy/compose/moonloom.lua")
    assert(text:find "status=0", text)
    local folder = process.folder()
    local wrong = assert(io.open(folder .. "/wrong.lua", "w"))
    wrong:write(read "docs/deploy/compose/moonloom.lua", "\nno_such_key = 1\n")
    wrong:close()
    assert.falsy(output(bin .. " check-config " .. folder .. "/wrong.lua"):find "status=0")
  end)

  it("names keys that compose has, and services that stand in the file", function()
    local KEYS = {}
    for word in ([[image build context env_file environment volumes depends_on condition stop_grace_period restart healthcheck test interval
      retries command entrypoint ports name services]]):gmatch "%S+" do KEYS[word] = true end
    local services, text = {}, read "docs/deploy/compose/compose.yaml"
    for name in (text:match "\nservices:\n(.-)\nvolumes:"):gmatch "\n?  (%l[%l%d]*):" do services[name] = true end
    for _, name in ipairs { "postgres", "redis", "migrate", "node1", "node2", "nginx" } do assert(services[name], name .. " is missing") end
    for line in text:gmatch "[^\n]+" do
      local indent, key = line:match "^( *)([%l_][%l%d_]*):"
      assert(not key or KEYS[key] or services[key] or (#indent == 0 and key == "volumes"), "compose.yaml: " .. line)
    end
    for host in read("docs/deploy/compose/nginx.conf"):gmatch "server ([%w.]+):8080" do assert(services[host], "nginx.conf: no service " .. host) end
    for host in text:gmatch "redis://(%w+)" do assert(services[host], "no service " .. host) end
    for host in read("docs/deploy/compose/secrets.env.example"):gmatch "@(%w+)/" do assert(services[host], "no service " .. host) end
    for path in text:gmatch "%- %./([%w._-]+):" do
      if path ~= "certificates" then read("docs/deploy/compose/" .. path) end -- they are the reader's own
    end
    local user, name = text:match '"pg_isready", "%-U", "(%w+)", "%-d", "(%w+)"'
    local secrets = read "docs/deploy/compose/secrets.env.example"
    assert(secrets:find("POSTGRES_USER=" .. user, 1, true) and secrets:find("POSTGRES_DB=" .. name, 1, true))
  end)

  it("has one nginx configuration, tested by spec/chaos/balancers, and the same with other names", function()
    local function body(path) return (read(path):gsub("^#[^\n]*\n", ""):gsub("^#[^\n]*\n", "")) end
    local expected = body("docs/deploy/nginx.conf"):gsub("127%.0%.0%.1:8081", "node1:8080"):gsub("127%.0%.0%.1:8082", "node2:8080")
      :gsub("    server 127%.0%.0%.1:8083[^\n]*\n", "")
    local with_tls, count = body("docs/deploy/compose/nginx.conf"):gsub("    listen 8443 ssl;\n    ssl_certificate [^\n]*\n    ssl_certificate_key [^\n]*\n", "")
    assert.equal(1, count)
    assert.equal(expected, with_tls)
  end)

  it("has a configuration and addresses with which a node starts", function()
    local World = require "world"
    local url = read("docs/deploy/compose/compose.yaml"):match "PUBLIC_URL: %${PUBLIC_URL:%-([^}]+)}"
    local world = World.new { config = read "docs/deploy/compose/moonloom.lua", args = { "--listen", "0.0.0.0:0" }, env = { MOONLOOM_PUBLIC_URL = url } }
    assert(output(bin .. " health --ready --url http://127.0.0.1:" .. world.port):find "status=0")
    world:close()
  end)

  it("has a unit that systemd knows", function()
    local KNOWN = {}
    for word in ([[Unit Description After Wants Service ExecStart ExecReload EnvironmentFile Restart RestartSec TimeoutStopSec DynamicUser StateDirectory
      StateDirectoryMode LimitNOFILE NoNewPrivileges ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectKernelTunables ProtectKernelModules
      ProtectControlGroups RestrictAddressFamilies RestrictNamespaces LockPersonality CapabilityBoundingSet SystemCallArchitectures Install WantedBy]])
      :gmatch "%S+" do KNOWN[word] = true end
    for line in read("docs/deploy/moonloom.service"):gmatch "[^\n]+" do
      local word = line:match "^%[(%u%l+)%]$" or line:match "^(%u%a+)="
      assert(line:find "^#" or (word and KNOWN[word]), line)
    end
  end)

  it("says how a container is: moonloom health", function()
    local World = require "world"
    local world = World.new {}
    local url = "http://127.0.0.1:" .. world.port
    assert(output(bin .. " health --url " .. url):find "ok.*status=0")
    assert(output(bin .. " health --ready --url " .. url):find "ready.*status=0")
    world:close()
    assert(output(bin .. " health --url " .. url):find "status=3")
    assert(output(bin .. " health --wrong"):find "status=2")
  end)
end)
