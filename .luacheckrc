std = "luajit"
max_line_length = 120
exclude_files = { "www/**", "build/**", "data/**", "node_modules/**", "**/node_modules/**" }
files["spec/**"] = { std = "+busted" }
files["plugins/**/spec/**"] = { std = "+busted" }
