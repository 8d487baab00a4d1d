CREATE TABLE flights (date timestamp, delay bigint, distance bigint, origin varchar, destination varchar);
