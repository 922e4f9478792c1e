-- SPDX-License-Identifier: MIT
local function level(name, doc)
  return { name, "(message: string, fields?: table)", since = "0.1.0", doc = doc }
end

return {
  name = "log", doc = "One line, and fields beside it; never a format string. 100 lines a second, the rest is counted.",
  level("debug", "For the author."),
  level("info", "Once in the life of a thing."),
  level("warn", "Degraded, still serving."),
  level("error", "Somebody has to act."),
}
