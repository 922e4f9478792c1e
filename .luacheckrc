std = "luajit"
max_line_length = 120
self = false
exclude_files = { "www/**", "build/**", "data/**", "node_modules/**", "**/node_modules/**" }
files["spec/**"] = { std = "+busted", max_line_length = 160 }
files["plugins/**/spec/**"] = { std = "+busted" }
