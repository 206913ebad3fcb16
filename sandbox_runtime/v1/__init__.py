"""The wire, generated from `protos/`. Never edited."""
