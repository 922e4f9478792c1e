-- What is not a secret. Address, store and bus come from the environment (MOONLOOM_LISTEN, MOONLOOM_STORE, MOONLOOM_BUS).
auth = { mode = "password" }
origins = { env("MOONLOOM_PUBLIC_URL", "http://localhost:8080") }
