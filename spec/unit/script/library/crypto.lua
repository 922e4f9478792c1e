-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local crypto, hex, bin = ml.crypto, ml.enc.hex.encode, ml.enc.hex.decode

local P = {}

local function digests()
  same("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hex(crypto.sha256 ""))
  same("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hex(crypto.sha256 "abc"))
  -- a million times "a" (FIPS 180-2): more than one piece
  same("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", hex(crypto.sha256(("a"):rep(1000000))))
  -- RFC 4231, cases 1, 2, 6
  same("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", hex(crypto.hmac(("\11"):rep(20), "Hi There")))
  same("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", hex(crypto.hmac("Jefe", "what do ya want for nothing?")))
  same("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    hex(crypto.hmac(("\170"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First")))
  raises("the key is empty", crypto.hmac, "", "x")
  raises("text expected", crypto.sha256, {})
  same(true, crypto.same("abc", "abc"))
  same(true, crypto.same("", ""))
  same(false, crypto.same("abc", "abd"))
  same(false, crypto.same("abc", "ab"))
  raises("text expected", crypto.same, "abc", nil)
end

local function random()
  same(16, #crypto.random(16))
  same(65536, #crypto.random(65536))
  same(false, crypto.random(16) == crypto.random(16))
  for _, wrong in ipairs { 0, -1, 65537, 1.5, 0 / 0, 1 / 0 } do raises("1 to 65536 bytes", crypto.random, wrong) end
  local seen, before = {}, ""
  for _ = 1, 200 do
    local id = crypto.uuid7()
    same(true, id:find("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$") ~= nil, id)
    same(nil, seen[id])
    seen[id] = true
    same(true, id:sub(1, 13) >= before)
    before = id:sub(1, 13)
  end
  -- 1700000000000 ms
  same("018bcfe5-6800", before)
end

local function sealed()
  local text = "what nobody else may read \0\255"
  local box = crypto.seal(text)
  same(#text + 41, #box)
  same(nil, box:find("nobody", 1, true))
  same(text, crypto.open(box))
  same(false, box == crypto.seal(text))
  same("", crypto.open(crypto.seal ""))
  local large = ("x"):rep(200000)
  same(large, crypto.open(crypto.seal(large, "notes/1"), "notes/1"))

  local function refused(kind, ...)
    local value, got = crypto.open(...)
    same(nil, value)
    same(kind, got)
  end
  refused("EDENIED", box, "other context")
  refused("EDENIED", crypto.seal(text, "a"), "b")
  refused("EDENIED", crypto.seal(text, "a"))
  for at = 2, #box do
    refused("EDENIED", box:sub(1, at - 1) .. string.char((box:byte(at) + 1) % 256) .. box:sub(at + 1))
  end
  refused("EFORMAT", "\2" .. box:sub(2))
  refused("EFORMAT", "")
  refused("EFORMAT", box:sub(1, 40))
  refused("EDENIED", box:sub(1, #box - 1))
  refused("EDENIED", box .. "x")
  raises("a context of at most", crypto.seal, "x", ("x"):rep(1025))
end

local function signatures()
  -- RFC 8032, 7.1, tests 2 and 3
  local key = bin "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
  local signature = bin("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    .. "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
  same(true, crypto.ed25519_verify(key, "r", signature))
  same(false, crypto.ed25519_verify(key, "s", signature))
  same(false, crypto.ed25519_verify(key, "", signature))
  same(false, crypto.ed25519_verify(key, "r", signature:sub(1, 63)))
  same(false, crypto.ed25519_verify(key, "r", signature .. "x"))
  same(false, crypto.ed25519_verify(key, "r", ""))
  same(false, crypto.ed25519_verify(("\0"):rep(32), "r", signature))
  same(false, crypto.ed25519_verify(("\255"):rep(32), "r", signature))
  local key3 = bin "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
  same(true, crypto.ed25519_verify(key3, "\175\130", bin("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    .. "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")))
  raises("has 32 bytes", crypto.ed25519_verify, "short", "r", signature)
end

function P:setup()
  digests() random() sealed() signatures()
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
