-- What is not a secret. Address, store and bus come from the environment (MOONLOOM_LISTEN, MOONLOOM_STORE, MOONLOOM_BUS).
auth = { mode = "password" }
-- MOONLOOM_PUBLIC_URL is the https:// address that people see: passwords need TLS, which ends at the proxy.
origins = { env("MOONLOOM_PUBLIC_URL", "https://localhost:8443") }
