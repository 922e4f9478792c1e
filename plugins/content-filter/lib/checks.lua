-- What a pattern cannot say.
local checks = {}

local function digits(text)
  return (text:gsub("%D", ""))
end

--- Does the check digit of a card number fit?
function checks.luhn(text)
  local number, sum = digits(text), 0
  if #number == 0 then return false end
  for i = #number, 1, -1 do
    local d = number:byte(i) - 48
    if (#number - i) % 2 == 1 then
      d = d * 2
      if d > 9 then d = d - 9 end
    end
    sum = sum + d
  end
  return sum % 10 == 0
end

--- ISO 7064: the first four characters go to the end, letters become 10 to 35, and 1 is left of division by 97.
function checks.iban(text)
  local s, rest = text:gsub("%s", ""):upper(), 0
  if #s < 15 or #s > 34 then return false end
  for c in (s:sub(5) .. s:sub(1, 4)):gmatch(".") do
    local value = tonumber(c, 36)
    rest = (rest * (value > 9 and 100 or 10) + value) % 97
  end
  return rest == 1
end

--- Bits per byte, by how often each byte occurs.
function checks.entropy(text)
  local count, sum = {}, 0
  for i = 1, #text do
    local b = text:byte(i)
    count[b] = (count[b] or 0) + 1
  end
  for _, n in pairs(count) do sum = sum - n / #text * math.log(n / #text) / math.log(2) end
  return sum
end

local NAMES = {
  word = "it holds a word that is not wanted here", card = "it looks like a card number", iban = "it looks like an account number",
  email = "it looks like an e-mail address", phone = "it looks like a telephone number", ssn = "it looks like a social security number",
  private_key = "it looks like a private key", aws_key = "it looks like an access key", jwt = "it looks like a token",
}

function checks.people(name)
  return NAMES[name] or ("it looks like " .. name)
end

return checks
