async function main() {
  const { Queue } = await import('bullmq');
  return new Queue('orders', { connection: { host: 'redis' } }); // want: FAIL queue orders
}
import('bullmq').then(({ Queue }) => new Queue('mails', {})); // want: FAIL queue mails
import('bullmq').then((m) => new m.Queue('third', {})); // want: FAIL queue third
main();
