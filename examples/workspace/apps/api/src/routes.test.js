'use strict';
const assert = require('node:assert');
const { resolve } = require('./routes');

exports['answers health'] = () => assert.strictEqual(resolve('/health'), 'ok');
