'use strict';
const assert = require('node:assert');
const { inStock } = require('./stock');

exports['knows what it has'] = () => assert.ok(inStock('bread'));
exports['knows what it lacks'] = () => assert.ok(!inStock('figs'));
