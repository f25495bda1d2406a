'use strict';
const assert = require('node:assert');
const { Cart } = require('./cart');

exports['sums its lines'] = () => {
  const cart = new Cart();
  cart.put('apples', 120);
  cart.put('bread', 350);
  assert.strictEqual(cart.total(), 470);
};
