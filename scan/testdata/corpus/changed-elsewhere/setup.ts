import { connection } from './redis';
import { tune } from './tune';
tune(connection);
