'use strict';
exports.steps = ['opens the cart', 'adds two loaves', 'shows 7.00'];
