-- Beside the database of compose.yaml's MariaDB: one for Dagster's own history. Run once, when the volume is new.
CREATE DATABASE dagster CHARACTER SET utf8mb4;
GRANT ALL ON dagster.* TO 'kmdb'@'%';
