"""The tables of an index; `SCHEMA` may run again and change nothing."""

VERSION = 2

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records(
    annotation INTEGER, image_index INTEGER, updated TEXT, task INTEGER, image TEXT, left_out TEXT, deleted INTEGER,
    prediction INTEGER, masks TEXT, damaged TEXT, moment INTEGER, changed INTEGER, size INTEGER,
    PRIMARY KEY(annotation, image_index)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_of_task ON records(task);
CREATE TABLE IF NOT EXISTS examples(
    version TEXT, annotation INTEGER, image_index INTEGER, updated TEXT, labels TEXT, problem TEXT, moment INTEGER,
    changed INTEGER, size INTEGER, PRIMARY KEY(version, annotation, image_index)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS examples_by_time ON examples(version, moment, annotation, image_index);
CREATE INDEX IF NOT EXISTS examples_of_record ON examples(annotation, image_index);
CREATE TABLE IF NOT EXISTS versions(version TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting(
    version TEXT, annotation INTEGER, image_index INTEGER, PRIMARY KEY(version, annotation, image_index)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting_of_record ON waiting(annotation);
CREATE TABLE IF NOT EXISTS folders(name TEXT PRIMARY KEY, changed INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writing(annotation INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS deleted_tasks(task INTEGER PRIMARY KEY);
CREATE VIEW IF NOT EXISTS heads AS
    SELECT annotation, updated, task, image, left_out, deleted, image_index, prediction, masks FROM records
    WHERE damaged = '';
CREATE VIEW IF NOT EXISTS usable AS SELECT * FROM heads WHERE deleted = 0 AND left_out = '';
CREATE VIEW IF NOT EXISTS current AS
    SELECT r.*, e.version, e.labels, e.problem, e.moment, e.changed FROM usable r JOIN examples e
    ON e.annotation = r.annotation AND e.image_index = r.image_index AND e.updated = r.updated;
CREATE VIEW IF NOT EXISTS lacking AS
    SELECT v.version, r.annotation, r.image_index FROM versions v, usable r WHERE NOT EXISTS
    (SELECT 1 FROM examples e WHERE e.version = v.version AND e.annotation = r.annotation
    AND e.image_index = r.image_index AND e.updated = r.updated);
INSERT OR IGNORE INTO meta VALUES ('records', 0), ('examples', 0), ('identity', hex(randomblob(8)));
PRAGMA user_version = 2;
COMMIT;
"""

CLEAR = """
BEGIN IMMEDIATE;
DELETE FROM records;
DELETE FROM examples;
DELETE FROM waiting;
DELETE FROM folders;
DELETE FROM writing;
DELETE FROM deleted_tasks;
UPDATE meta SET value = hex(randomblob(8)) WHERE name = 'identity';
UPDATE meta SET value = 0 WHERE name = 'records';
COMMIT;
"""
