-- SPDX-License-Identifier: MIT
local function both(name, doc)
  return { name, "moonloom.Codec", since = "0.1.0", pure = true, doc = doc }
end

return {
  name = "enc", doc = "Encodings, both ways: `ml.enc.hex.encode(s)`, `ml.enc.hex.decode(s)`.",
  both("base64", "With padding."), both("base64url", "Without padding."), both("hex", "Lower case."), both("url", "Percent."),
  classes = {
    { class = "moonloom.Codec", doc = "Both ways.",
      methods = { { "encode", "(s: string): string", since = "0.1.0", pure = true, cost = "linear", doc = "To text." },
                  { "decode", "(s: string): string", since = "0.1.0", pure = true, cost = "linear", fails = true, doc = "Back; strict: what is not the one text of some bytes is refused." } }, plain = true },
  },
}
