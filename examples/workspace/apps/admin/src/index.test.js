'use strict';
const assert = require('node:assert');
const { mayRefund } = require('./index');

exports['lets managers refund'] = () => assert.ok(mayRefund('manager'));
exports['stops clerks'] = () => assert.ok(!mayRefund('clerk'));
