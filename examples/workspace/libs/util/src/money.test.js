'use strict';
const assert = require('node:assert');
const { add, format } = require('./money');

exports['formats whole cents'] = () =>
  assert.strictEqual(format(1205), '12.05');
exports['adds without loss'] = () => assert.strictEqual(add(10, 20), 30);
