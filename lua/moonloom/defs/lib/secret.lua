-- SPDX-License-Identifier: MIT
-- No function of its own: handles come from config.
return {
  doc = "Secrets.",
  classes = {
    { class = "moonloom.Secret", doc = "Handle of a secret from config; printing it gives `secret:***`.",
      methods = { { "reveal", "(): string", since = "0.4.0", need = "secrets.reveal", doc = "Its text." } } },
  },
}
