CREATE TABLE keys (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    digest     BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix     TEXT    NOT NULL,
    allow      TEXT    NOT NULL DEFAULT '[]',
    created_at INTEGER NOT NULL CHECK (created_at >= 0),
    expires_at INTEGER CHECK (expires_at IS NULL OR expires_at >= 0),
    revoked_at INTEGER CHECK (revoked_at IS NULL OR revoked_at >= 0)
) STRICT;

CREATE INDEX keys_by_name ON keys (name);
