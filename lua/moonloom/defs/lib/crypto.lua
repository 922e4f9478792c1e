-- SPDX-License-Identifier: MIT
return {
  name = "crypto", doc = "Hashes, signatures, passwords.",
  { "sha256", "(s: string): string", cost = "linear", doc = "32 bytes." },
  { "hmac", "(key: any, s: string): string", cost = "linear", doc = "HMAC-SHA-256." },
  { "random", "(n: integer): string", doc = "n bytes." },
  { "uuid7", "(): string", doc = "Sorts by time." },
  { "same", "(a: string, b: string): boolean", doc = "In constant time." },
  { "seal", "(plain: string): string", cost = "linear", doc = "Under the key of the org." },
  { "open", "(sealed: string): string", cost = "linear", fails = true, doc = "What was sealed." },
  { "ed25519_verify", "(key: string, message: string, signature: string): boolean", doc = "Is it signed with this key?" },
  { "password_hash", "(password: string): string", waits = true, doc = "Argon2id." },
  { "password_check", "(password: string, hash: string): boolean", waits = true, doc = "Does it fit?" },
}
