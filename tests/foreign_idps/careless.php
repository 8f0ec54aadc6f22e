<?php
/* An identity provider with ten defects that help an attacker a little: php -S 127.0.0.1:PORT careless.php
 *
 * The path chooses the defects: /none/login-token/, /clock/login-token/, /clock+nonce/login-token/, /all/login-token/.
 * It reads RETURN_URL, SERVICE_KEY, AUDIENCE, EMAIL and PASSWORD from the environment.
 */
$path = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
$defects = explode('+', $path[1] ?? 'none');

function has(string $defect): bool
{
    global $defects;
    return in_array($defect, $defects) || in_array('all', $defects);
}

function b64(string $text): string
{
    return rtrim(strtr(base64_encode($text), '+/', '-_'), '=');
}

session_name('PHPSESSID');
session_start(['cookie_httponly' => !has('cookie_http_only'), 'cookie_samesite' => 'Lax', 'cache_limiter' => '']);
header("Content-Security-Policy: frame-ancestors 'none'");
if (!has('no_store')) {
    header('Cache-Control: no-store');
}
if (!has('no_referrer')) {
    header('Referrer-Policy: no-referrer');
}
$file = sys_get_temp_dir() . '/careless-' . md5(getenv('RETURN_URL'));
if (!file_exists($file)) {
    file_put_contents($file, password_hash(getenv('PASSWORD'), PASSWORD_BCRYPT, ['cost' => 10]));
}
$hash = file_get_contents($file);

if (($path[2] ?? '') === 'logout') {
    $parts = explode('.', $_GET['jwt'] ?? '') + ['', '', ''];
    $made = b64(hash_hmac('sha256', "$parts[0].$parts[1]", getenv('SERVICE_KEY'), true));
    if (!hash_equals($made, $parts[2])) {
        http_response_code(401);
        exit('The token is not valid.');
    }
    session_destroy();
    exit('Signed out.');
}
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!has('form_csrf') && !hash_equals($_SESSION['csrf'] ?? random_bytes(9), $_POST['csrf'] ?? '')) {
        form(400, 'This form has expired.');
    }
    $known = strtolower($_POST['email'] ?? '') === getenv('EMAIL');
    $right = password_verify($_POST['password'] ?? '', $hash);
    if (!$known && has('user_enumeration')) {
        form(401, 'There is no such user.');
    }
    if (!$known || !$right) {
        form(401, 'The password is wrong.');
    }
    session_regenerate_id(true);
    $_SESSION = ['email' => getenv('EMAIL')];
}
isset($_SESSION['email']) ? token($_SESSION['email']) : form(200, '');

function form(int $status, string $problem): never
{
    http_response_code($status);
    $csrf = $_SESSION['csrf'] ??= bin2hex(random_bytes(16));
    exit("<title>Sign in</title><p>$problem</p><form method='post'><input type='hidden' name='csrf' value='$csrf'>"
        . "<input name='email'><input name='password' type='password'><input type='submit' value='Sign in'></form>");
}

function token(string $email): never
{
    $now = time() + (has('clock') ? 20 : 0);
    $claims = ['iat' => $now, 'exp' => $now + (has('lifetime') ? 86400 : 60), 'jti' => bin2hex(random_bytes(16))];
    $claims += ['email' => $email, 'aud' => getenv('AUDIENCE')];
    if (!has('nonce') && isset($_GET['nonce'])) {
        $claims['nonce'] = $_GET['nonce'];
    }
    $signed = b64('{"alg":"HS256","typ":"JWT"}') . '.' . b64(json_encode($claims));
    $fields = ['jwt' => $signed . '.' . b64(hash_hmac('sha256', $signed, getenv('SERVICE_KEY'), true))];
    if (!has('return_to') && isset($_GET['return_to'])) {
        $fields['return_to'] = $_GET['return_to'];
    }
    if (has('address')) {
        header('Location: ' . getenv('RETURN_URL') . '?' . http_build_query($fields), true, 303);
        exit;
    }
    echo '<title>You are signed in</title><form method="post" action="' . htmlspecialchars(getenv('RETURN_URL')) . '">';
    foreach ($fields as $name => $value) {
        echo "<input type='hidden' name='$name' value='" . htmlspecialchars($value) . "'>";
    }
    exit('<button>Go on</button></form>');
}
