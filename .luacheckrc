std = "luajit"
max_line_length = 140
self = false
exclude_files = { "www/**", "build/**", "data/**", "node_modules/**", "**/node_modules/**" }
files["spec/**"] = { std = "+busted", max_line_length = false }
files["plugins/**/spec/**"] = { std = "+busted", max_line_length = false }
files["lua/moonloom/defs/**"] = { max_line_length = false }
files["lua/moonloom/tool/**"] = { max_line_length = false }
files["lua/moonloom/test/**"] = { max_line_length = false }
