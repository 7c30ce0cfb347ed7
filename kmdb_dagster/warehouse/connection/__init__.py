"""The connection to MySQL or MariaDB: engine, transactions, errors, streamed results, the `Warehouse`."""
