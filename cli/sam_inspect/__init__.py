"""The command `sam-inspect`: one file a group of commands; each only translates its options. No work lives here."""
