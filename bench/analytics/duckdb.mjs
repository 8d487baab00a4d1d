// duckdb.mjs FILE THREADS <commands: run statements in DuckDB
// Each line of standard input is JSON: [label, warm-ups, runs, [statement, ...]].
// Of a query with a label "label<TAB>milliseconds" is printed for each run, the
// statements taken in turn; those without a label are just executed.  With no
// runs, the rows of the first statement are printed as psql -At prints them.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(process.env.ANALYTICS_MODULES + '/package.json');
const { DuckDBInstance } = require('@duckdb/node-api');
const instance = await DuckDBInstance.create(process.argv[2], { threads: process.argv[3] });
const connection = await instance.connect();

for await (const line of createInterface({ input: process.stdin })) {
	const [label, warm, runs, statements] = JSON.parse(line);
	if (!label) {
		for (const sql of statements) {
			const result = await connection.runAndReadAll(sql);
			if (sql.startsWith('SELECT version')) console.log(result.getRows()[0][0]);
		}
		continue;
	}
	if (warm + runs === 0) {
		console.log('== ' + label);
		const result = await connection.runAndReadAll(statements[0]);
		for (const row of result.getRows())
			console.log(row.map((value) => value === null ? '' : value === true ? 't' : value === false ? 'f' : String(value)).join('|'));
		continue;
	}
	for (let i = 0; i < warm + runs; i++) {
		const sql = statements[i % statements.length];
		const start = process.hrtime.bigint();
		// rows are fetched, as psql fetches them
		const result = await connection.run(sql);
		await result.fetchAllChunks();
		const ms = Number(process.hrtime.bigint() - start) / 1e6;
		if (i >= warm) console.log(label + '\t' + ms.toFixed(3));
	}
}
process.exit(0);
