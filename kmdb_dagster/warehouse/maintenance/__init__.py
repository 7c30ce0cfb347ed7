"""What changes the tables and not what stands in them: time partitions, indexes; and what empties them."""
