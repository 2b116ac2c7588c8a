-- What opens realtime sessions as a key, for a while: a browser is given it instead of the key.
CREATE TABLE client_secrets (
    digest  BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    key     TEXT    NOT NULL REFERENCES keys (id),
    session TEXT    NOT NULL, -- JSON: what it presets
    ends    INTEGER NOT NULL  -- seconds
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secrets_by_end ON client_secrets (ends);
