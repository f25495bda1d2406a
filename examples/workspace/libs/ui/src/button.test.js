'use strict';
const assert = require('node:assert');
const { button } = require('./button');

exports['shows its label'] = () => assert.match(button('Pay'), />Pay</);
