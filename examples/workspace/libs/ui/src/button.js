'use strict';
function button(label) {
  return `<button type="button">${label}</button>`;
}

module.exports = { button };
