"""Ready ways into services that are known: one module each, imported only where it is used."""
