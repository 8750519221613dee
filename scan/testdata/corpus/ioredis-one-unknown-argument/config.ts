import convict from 'convict';
export const config = convict({}).getProperties();
