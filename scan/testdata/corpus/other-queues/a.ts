import PQueue from 'p-queue';
import { Queue as SQS } from 'aws-cdk-lib/aws-sqs';
import { Queue as Mine } from './mine';
export const all = [new PQueue({ concurrency: 1 }), new SQS(null as never, 'q'), new Mine()];
// new Queue('in a comment')
export const text = "new Queue('in a string')";
