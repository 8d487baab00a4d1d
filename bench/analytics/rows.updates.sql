UPDATE r SET v = v + 1 WHERE (id * id * 31 + id * 17) % 100003 < 1000;
