exports.connection = { host: 'redis' };
