"""The kinds of record, one file each; `sync.sandbox.registry` lists them."""
