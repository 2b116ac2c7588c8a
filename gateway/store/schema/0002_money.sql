-- Amounts are integer nanodollars, moments are unix milliseconds unless a column says otherwise.

CREATE TABLE accounts (
    n           INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    group_name  TEXT    CHECK (group_name IS NULL OR length(group_name) BETWEEN 1 AND 200),
    floor       INTEGER CHECK (floor IS NULL OR floor <= 0), -- NULL: no floor, billed afterwards
    spend_limit INTEGER CHECK (spend_limit IS NULL OR spend_limit >= 0),
    period      TEXT    NOT NULL DEFAULT 'none' CHECK (period IN ('none', 'day', 'week', 'month')),
    status      TEXT    NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at  INTEGER NOT NULL CHECK (created_at >= 0) -- seconds
) STRICT;

-- Whoever made keys before there were accounts goes on as before: every route, billed afterwards.
INSERT INTO accounts (n, id, name, created_at) VALUES (1, 'acc_default', 'default', unixepoch());
-- Callers without a key: they can use what is free, and nothing else.
INSERT INTO accounts (n, id, name, floor, created_at)
    VALUES (2, 'acc_anonymous', 'anonymous', 0, unixepoch());

ALTER TABLE keys RENAME TO keys_1;
DROP INDEX keys_by_name;
CREATE TABLE keys (
    n           INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    account     INTEGER NOT NULL REFERENCES accounts (n),
    parent      INTEGER REFERENCES keys (n), -- the key that made this one through the API
    name        TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    public      BLOB    CHECK (public IS NULL OR length(public) = 32), -- checks derived keys
    prefix      TEXT    NOT NULL,
    allow       TEXT    NOT NULL DEFAULT '[]',
    ips         TEXT    NOT NULL DEFAULT '[]',
    scopes      TEXT    NOT NULL DEFAULT '["inference","usage:read"]',
    rpm         INTEGER CHECK (rpm IS NULL OR rpm >= 1),
    tpm         INTEGER CHECK (tpm IS NULL OR tpm >= 1),
    concurrency INTEGER CHECK (concurrency IS NULL OR concurrency >= 1),
    budget      INTEGER CHECK (budget IS NULL OR budget >= 0),
    period      TEXT    NOT NULL DEFAULT 'none' CHECK (period IN ('none', 'day', 'week', 'month')),
    created_at  INTEGER NOT NULL CHECK (created_at >= 0), -- seconds, as are the next two
    expires_at  INTEGER CHECK (expires_at IS NULL OR expires_at >= 0),
    revoked_at  INTEGER CHECK (revoked_at IS NULL OR revoked_at >= 0)
) STRICT;
INSERT INTO keys (id, account, name, digest, prefix, allow, created_at, expires_at, revoked_at)
    SELECT id, 1, name, digest, prefix, allow, created_at, expires_at, revoked_at
    FROM keys_1 ORDER BY rowid;
DROP TABLE keys_1;
CREATE INDEX keys_by_name ON keys (name);
CREATE INDEX keys_by_account ON keys (account);

-- Derived keys need no row to work; they get one when they first spend, so that budgets last.
CREATE TABLE children (
    n      INTEGER PRIMARY KEY,
    id     TEXT    NOT NULL UNIQUE,
    key    INTEGER NOT NULL REFERENCES keys (n),
    parent INTEGER REFERENCES children (n),
    at     INTEGER NOT NULL
) STRICT;
CREATE INDEX children_by_parent ON children (parent);
CREATE TABLE revoked_children (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Each start of a server; a call's number is boots.n * 2^40 + its count since that start.
CREATE TABLE boots (
    n     INTEGER PRIMARY KEY,
    token TEXT    NOT NULL UNIQUE,
    at    INTEGER NOT NULL
) STRICT;

-- What was called, written once: a ledger entry names the row.
CREATE TABLE ways (
    n        INTEGER PRIMARY KEY,
    route    TEXT NOT NULL,
    model    TEXT NOT NULL,
    provider TEXT NOT NULL,
    UNIQUE (route, model, provider)
) STRICT;
CREATE TABLE prices (digest TEXT PRIMARY KEY, row TEXT NOT NULL, at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;

-- The ledger: append-only, and every row moves money between four places so that nothing appears
-- or vanishes. kind: 1 hold, 2 more held for the same call, 3 settled (what was held is let go, the
-- charge is revenue), 4 top-up, 5 adjustment.
CREATE TABLE entries (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    account INTEGER NOT NULL,
    key     INTEGER NOT NULL DEFAULT 0,
    child   INTEGER NOT NULL DEFAULT 0,
    call    INTEGER NOT NULL DEFAULT 0,
    wallet  INTEGER NOT NULL, -- the account's free money
    held    INTEGER NOT NULL, -- its money set aside for open calls
    revenue INTEGER NOT NULL, -- what calls were charged
    source  INTEGER NOT NULL, -- the world outside
    way     INTEGER NOT NULL DEFAULT 0,
    status  INTEGER NOT NULL DEFAULT 0,
    flag    INTEGER NOT NULL DEFAULT 0, -- 0: as the provider counted; else why it was not
    input   INTEGER NOT NULL DEFAULT 0,
    output  INTEGER NOT NULL DEFAULT 0,
    cached  INTEGER NOT NULL DEFAULT 0,
    estimate INTEGER NOT NULL DEFAULT 0, -- of a hold: what the call's input alone would cost
    receipt BLOB,
    CHECK (wallet + held + revenue + source = 0),
    CHECK (kind > 2 OR (held >= 0 AND revenue = 0 AND source = 0 AND call > 0)),
    CHECK (kind <> 3 OR (held <= 0 AND revenue BETWEEN 0 AND -held AND source = 0 AND call > 0)),
    CHECK (kind < 4 OR (held = 0 AND revenue = 0 AND call = 0)),
    CHECK (input >= 0 AND output >= 0 AND cached >= 0 AND estimate >= 0)
) STRICT;
CREATE UNIQUE INDEX settled_once ON entries (call) WHERE kind = 3;
CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'ledger entries are never deleted'); END;
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'ledger entries are never changed'); END;

-- Sums of settled calls up to marks.seq. first and last bound the rows they come from, so that a
-- search for one key or route reads no others' rows.
CREATE TABLE rollups (
    hour    INTEGER NOT NULL, -- unix time / 3600
    account INTEGER NOT NULL,
    key     INTEGER NOT NULL,
    child   INTEGER NOT NULL,
    way     INTEGER NOT NULL,
    calls   INTEGER NOT NULL,
    failed  INTEGER NOT NULL,
    flagged INTEGER NOT NULL,
    input   INTEGER NOT NULL,
    output  INTEGER NOT NULL,
    cached  INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (hour, account, key, child, way)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_key ON rollups (key, hour);
CREATE INDEX rollups_by_child ON rollups (child, hour) WHERE child > 0;
CREATE INDEX rollups_by_account ON rollups (account, hour);
CREATE INDEX rollups_by_way ON rollups (way, hour);
CREATE TABLE balances (
    account INTEGER PRIMARY KEY,
    wallet  INTEGER NOT NULL,
    held    INTEGER NOT NULL,
    revenue INTEGER NOT NULL,
    source  INTEGER NOT NULL,
    CHECK (wallet + held + revenue + source = 0)
) STRICT;
CREATE TABLE marks (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    seq       INTEGER NOT NULL, -- rollups and balances hold all entries up to here
    open_from INTEGER NOT NULL, -- every hold before this entry has been settled
    calls     INTEGER NOT NULL  -- how many settled calls the rollups hold
) STRICT;
INSERT INTO marks VALUES (1, 0, 1, 0);

CREATE TABLE replays (
    account INTEGER NOT NULL,
    digest  BLOB    NOT NULL CHECK (length(digest) = 32), -- of the Idempotency-Key
    body    BLOB    NOT NULL CHECK (length(body) = 32),   -- of path and body
    call    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    status  INTEGER NOT NULL DEFAULT 0, -- 0: still running, or cut off by a crash
    headers TEXT    NOT NULL DEFAULT '[]',
    answer  BLOB,
    PRIMARY KEY (account, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_by_age ON replays (at);

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL, -- a key's id, or 'command line'
    act     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL DEFAULT '{}'
) STRICT;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log is never shortened'); END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log is never changed'); END;
