-- Sums by day answer what spans weeks, and what a key or account has spent, from few rows; the
-- sums by hour stay for what is finer, and to find calls by.
CREATE TABLE days (
    day     INTEGER NOT NULL,
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
    PRIMARY KEY (day, account, key, child, way)
) STRICT, WITHOUT ROWID;
INSERT INTO days
    SELECT hour / 24, account, key, child, way, sum(calls), sum(failed), sum(flagged), sum(input),
        sum(output), sum(cached), sum(charged)
    FROM rollups GROUP BY 1, 2, 3, 4, 5;
CREATE INDEX days_by_key ON days (key, day);
CREATE INDEX days_by_child ON days (child, day) WHERE child > 0;
CREATE INDEX days_by_account ON days (account, day);

-- Which stretch of the ledger each hour's calls lie in; and the sums by hour found newest first.
CREATE TABLE spans (
    hour  INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last  INTEGER NOT NULL
) STRICT;
INSERT INTO spans SELECT hour, min(first), max(last) FROM rollups GROUP BY hour;
DROP INDEX rollups_by_child;
DROP INDEX rollups_by_key;
DROP INDEX rollups_by_account;
DROP INDEX rollups_by_way;
CREATE INDEX rollups_by_key ON rollups (key, last);
CREATE INDEX rollups_by_account ON rollups (account, last);
CREATE INDEX rollups_by_way ON rollups (way, last);
CREATE INDEX rollups_flagged ON rollups (last) WHERE flagged > 0;
CREATE INDEX rollups_failed ON rollups (last) WHERE failed > 0;
