'use strict';
/** Amounts are whole cents: adding prices must not lose one. */
function format(cents) {
  return `${Math.trunc(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}

function add(...amounts) {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}

module.exports = { add, format };
