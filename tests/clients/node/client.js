// prom-client: client.js push|add|delete ADDRESS
const { Counter, Gauge, Histogram, Pushgateway, Registry, Summary } = require('prom-client');

const [verb, address] = process.argv.slice(2);
const registry = new Registry();
const gauge = new Gauge({ name: 'last_success', help: 'When it was last well.', registers: [registry] });
const gateway = new Pushgateway(`http://${address}`, {}, registry);
const group = { jobName: 'backup', groupings: { path: '/var/tmp' } };

async function main() {
	if (verb === 'push') {
		gauge.set(1.5e9);
		const files = new Counter({
			name: 'files_total',
			help: 'Files that were copied.',
			labelNames: ['kind'],
			registers: [registry],
		});
		files.inc({ kind: 'a b' }, 3);
		const copies = new Histogram({
			name: 'copy_seconds',
			help: 'How long a file took.',
			buckets: [0.1, 1],
			registers: [registry],
		});
		copies.observe(0.5);
		const sizes = new Summary({
			name: 'size',
			help: 'How long a file was.',
			percentiles: [],
			registers: [registry],
		});
		sizes.observe(7);
		await gateway.push(group);
	} else if (verb === 'add') {
		gauge.set(1.6e9);
		await gateway.pushAdd(group);
	} else {
		await gateway.delete(group);
	}
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
