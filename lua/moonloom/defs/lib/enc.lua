-- SPDX-License-Identifier: MIT
local function both(name, doc)
  return { name, "moonloom.Codec", doc = doc }
end

return {
  name = "enc", doc = "Encodings, both ways: `ml.enc.hex.encode(s)`, `ml.enc.hex.decode(s)`.",
  both("base64", "With padding."), both("base64url", "Without padding."), both("hex", "Lower case."), both("url", "Percent."),
  classes = {
    { class = "moonloom.Codec", doc = "Both ways.",
      methods = { { "encode", "(s: string): string", cost = "linear", doc = "To text." },
                  { "decode", "(s: string): string", cost = "linear", fails = true, doc = "Back." } }, plain = true },
  },
}
