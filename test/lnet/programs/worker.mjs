// Starts the TypeScript program named in workerData: Node 20's workers do not take tsx from the command line.
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
await import(workerData.program);
