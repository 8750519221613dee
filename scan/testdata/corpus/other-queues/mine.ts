export class Queue { items = []; }
