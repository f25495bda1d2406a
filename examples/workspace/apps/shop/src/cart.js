'use strict';
class Cart {
  #lines = [];

  put(name, cents) {
    this.#lines.push({ name, cents });
  }

  total() {
    return this.#lines.reduce((sum, line) => sum + line.cents, 0);
  }
}

module.exports = { Cart };
