-- SPDX-License-Identifier: MIT
return {
  name = "crypto", doc = "Hashes, signatures, passwords.",
  { "sha256", "(s: string): string", since = "0.1.0", cost = "linear", doc = "32 bytes." },
  { "hmac", "(key: any, s: string): string", since = "0.1.0", cost = "linear", doc = "HMAC-SHA-256." },
  { "random", "(n: integer): string", since = "0.1.0", doc = "n bytes." },
  { "uuid7", "(): string", since = "0.1.0", doc = "Sorts by time." },
  { "same", "(a: string, b: string): boolean", since = "0.1.0", doc = "In constant time." },
  { "seal", "(plain: string, context?: string): string", since = "0.1.0", cost = "linear", doc = "Encrypted and authenticated under the key of the org; who opens it must name the same context." },
  { "open", "(sealed: string, context?: string): string", since = "0.1.0", cost = "linear", fails = true, doc = "What was sealed." },
  { "ed25519_verify", "(key: string, message: string, signature: string): boolean", since = "0.1.0", doc = "Is it signed with this key?" },
  { "password_hash", "(password: string): string", waits = true, doc = "Argon2id." },
  { "password_check", "(password: string, hash: string): boolean", waits = true, doc = "Does it fit?" },
}
