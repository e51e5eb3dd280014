-- What signs tokens, in one row: token.
CREATE TABLE key (name TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT;

CREATE TABLE source (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    ssid     TEXT NOT NULL UNIQUE,
    account  TEXT NOT NULL,
    alt_id   TEXT NOT NULL,
    country  TEXT NOT NULL,    -- '' where none is known
    starts   INTEGER NOT NULL, -- as ledger.Time
    ends     INTEGER NOT NULL,
    created  TEXT NOT NULL,    -- created_at
    arrived  INTEGER NOT NULL, -- when that was by the machine's own clock, in microseconds of Unix time
    changed  TEXT NOT NULL,    -- updated_at
    others   TEXT NOT NULL,    -- JSON array of the ids it conflicts with, in the order in which they came up
    share    REAL,             -- percent_overlap
    document TEXT NOT NULL,    -- a JSON object: what never changes of the answer
    geometry TEXT NOT NULL     -- GeoJSON as it was sent
) STRICT;
CREATE INDEX source_account ON source (account);
CREATE INDEX source_alt_id ON source (alt_id, account);

CREATE VIRTUAL TABLE box USING rtree(id, west, east, south, north);

PRAGMA user_version = 2;
