-- What a key made is found without reading all keys: when it is revoked, and for what it has spent.
CREATE INDEX keys_by_parent ON keys (parent) WHERE parent IS NOT NULL;
