-- Work that goes on after its call was answered: videos, music. What was set aside for the call
-- stays so until the task is finished; both are written in one transaction. A task without progress
-- is still being handed to its provider: after a crash it has failed, since nobody knows its name
-- there. Moments are unix milliseconds.
CREATE TABLE tasks (
    n          INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE CHECK (length(id) BETWEEN 20 AND 64),
    call       INTEGER NOT NULL UNIQUE CHECK (call > 0),
    account    INTEGER NOT NULL REFERENCES accounts (n),
    key        INTEGER NOT NULL,
    child      INTEGER NOT NULL,
    operation  TEXT    NOT NULL CHECK (length(operation) BETWEEN 1 AND 32),
    asked      TEXT    NOT NULL,                -- the model as the client named it
    route      TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    provider   TEXT    NOT NULL,
    upstream   TEXT    NOT NULL,
    region     TEXT,
    credential TEXT    NOT NULL,                -- the one it was begun with asks for it, no other
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed')),
    percent    INTEGER NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
    progress   BLOB,                            -- as the provider told it last
    body       BLOB    NOT NULL,                -- the request, less what is long
    expects    BLOB    NOT NULL,                -- what it was expected to use
    way        INTEGER NOT NULL,
    price      TEXT    NOT NULL,
    scale      TEXT    NOT NULL,                -- the group's multiplier
    tokens     INTEGER NOT NULL CHECK (tokens >= 0),
    most       INTEGER,                         -- the request's max_cost
    held       INTEGER NOT NULL CHECK (held >= 0),
    charged    INTEGER NOT NULL DEFAULT 0 CHECK (charged >= 0),
    error_code TEXT,
    error      TEXT,
    created    INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    finished   INTEGER,
    media      TEXT,                            -- the name of its file in the media folder
    media_type TEXT,
    media_size INTEGER,
    media_until INTEGER,
    webhook    TEXT,
    webhook_due INTEGER,                        -- when it is to be tried; NULL: nothing is to be sent
    webhook_tries INTEGER NOT NULL DEFAULT 0,
    deleted    INTEGER,
    CHECK ((state IN ('succeeded', 'failed')) = (finished IS NOT NULL)),
    CHECK (finished IS NOT NULL OR charged = 0),
    CHECK (charged <= held),
    CHECK (state = 'succeeded' OR charged = 0),
    CHECK (state = 'failed' OR error_code IS NULL)
) STRICT;
CREATE INDEX tasks_open ON tasks (n) WHERE finished IS NULL;
CREATE INDEX tasks_by_account ON tasks (account, operation, n);
CREATE INDEX tasks_due ON tasks (webhook_due) WHERE webhook_due IS NOT NULL;
CREATE INDEX tasks_kept ON tasks (media_until) WHERE media_until IS NOT NULL;
