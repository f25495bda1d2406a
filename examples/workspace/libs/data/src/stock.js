'use strict';
const stock = new Map([
  ['apples', 12],
  ['bread', 3],
]);

function inStock(name) {
  return (stock.get(name) ?? 0) > 0;
}

module.exports = { inStock };
