CREATE TABLE r (id bigint, a integer, b integer, v double precision, s text);
