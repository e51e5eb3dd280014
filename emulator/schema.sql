-- One row of key: SSIDs are made from it and from source.id.
CREATE TABLE key (secret BLOB NOT NULL) STRICT;

CREATE TABLE source (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    ssid        TEXT NOT NULL UNIQUE,
    account     TEXT NOT NULL,
    alt_id      TEXT NOT NULL,
    methodology TEXT,
    steward     TEXT,
    project     TEXT,
    year        INTEGER,
    country     TEXT NOT NULL,    -- '' where none is known
    starts      INTEGER NOT NULL, -- as ledger.Time
    ends        INTEGER NOT NULL,
    stored      TEXT NOT NULL,    -- created_at
    document    BLOB NOT NULL,    -- what never changes of the answer: JSON members, without braces
    geometry    BLOB NOT NULL,    -- GeoJSON as it was sent
    shape       BLOB NOT NULL     -- the same, as ledger.Shape in binary
) STRICT;
CREATE INDEX source_account ON source (account);
CREATE INDEX source_alt_id ON source (alt_id, account);

CREATE VIRTUAL TABLE box USING rtree(id, west, east, south, north);

-- What changes of a source, for those that were in conflict at some time.
CREATE TABLE conflict (
    id      INTEGER PRIMARY KEY, -- source.id
    others  TEXT NOT NULL,       -- JSON array of source.id, oldest conflict first; [] when over
    share   REAL,                -- percent_overlap
    changed TEXT NOT NULL        -- updated_at
) STRICT;

PRAGMA user_version = 1;
