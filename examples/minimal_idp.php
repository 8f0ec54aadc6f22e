<?php
/* A minimal identity provider: authentication.php and logout.php in one file, for PHP 8 without any library.
 *
 *     export SERVICE_KEY=$(openssl rand -base64 48) PEOPLE_FILE=people.json
 *     export SERVICE_URL=https://yourcompany.ispringlearn.com/sso/login/jwt
 *     php -S 127.0.0.1:5001 minimal_idp.php          (for a trial; otherwise behind your web server, over https)
 *
 * Give the service SERVICE_KEY and this program's URLs /login-token/ and /logout. PEOPLE_FILE holds
 * {"alice@example.com": {"password": HASH, "given_name": "Alice", "family_name": "Example"}}; make HASH by
 * php -r 'echo password_hash(trim(fgets(STDIN)), PASSWORD_BCRYPT), "\n";'
 * INSECURE_HTTP=1 is for a trial on your own machine, without https. idp/README.md lists what is left out here.
 */
declare(strict_types=1);

const TOKEN_LIFETIME = 60, SESSION_LIFETIME = 8 * 3600, MAX_SIGN_OUT_AGE = 300; // seconds
$serviceUrl = getenv('SERVICE_URL'); // the one place that tokens go to; never taken from a request
$serviceKey = getenv('SERVICE_KEY');
if (!$serviceUrl || strlen((string) $serviceKey) < 32) {
    throw new RuntimeException('Set SERVICE_URL, and SERVICE_KEY to at least 32 characters');
}
$people = array_change_key_case(json_decode(file_get_contents(getenv('PEOPLE_FILE')), true, 8, JSON_THROW_ON_ERROR));
$https = getenv('INSECURE_HTTP') === false;
session_name($https ? '__Host-idp' : 'idp');
session_start(['cookie_secure' => $https, 'cookie_httponly' => 1, 'cookie_samesite' => 'Lax', 'use_strict_mode' => 1]);
$parts = parse_url($serviceUrl);
$target = "$parts[scheme]://$parts[host]" . (isset($parts['port']) ? ":$parts[port]" : '');
header("Content-Security-Policy: default-src 'none'; form-action 'self' $target; frame-ancestors 'none'");
header('Cache-Control: no-store');
header('Referrer-Policy: no-referrer');

match ([$_SERVER['REQUEST_METHOD'], rtrim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/', '/')]) {
    ['GET', '/login-token'] => signedIn() ? sendToken($_SESSION['email']) : showForm(),
    ['POST', '/login-token'] => authenticate(),
    ['GET', '/logout'] => logout(),
    default => http_response_code(404),
};

/** Check what was typed; sign the person in and issue the token, or show the form again. */
function authenticate(): void
{
    global $people;
    $typed = array_filter($_POST, 'is_string') + ['csrf' => '', 'email' => '', 'password' => ''];
    if (!hash_equals($_SESSION['csrf'] ?? bin2hex(random_bytes(16)), $typed['csrf'])) {
        showForm('This form has expired. Enter your e-mail and password again.', 400);
        return;
    }
    $email = strtolower(trim($typed['email']));
    $person = $people[$email] ?? reset($people); // an unknown person costs the same time
    $right = password_verify($typed['password'], $person['password']);
    if (!$right || !isset($people[$email])) {
        showForm('The e-mail or the password is wrong.', 401);
        return;
    }
    session_regenerate_id(true); // no session that somebody else has begun
    $_SESSION = ['email' => $email, 'since' => time()];
    sendToken($email);
}

/** Sign out the person whom the service's sign-out token names; 401 for any other token. */
function logout(): void
{
    $parts = explode('.', is_string($_GET['jwt'] ?? null) ? $_GET['jwt'] : '');
    $signed = count($parts) === 3 && hash_equals(sign("$parts[0].$parts[1]"), $parts[2]);
    $decode = fn ($part) => json_decode((string) base64_decode(strtr($part, '-_', '+/')), true);
    [$header, $claims] = $signed ? array_map($decode, $parts) : [[], []];
    $fresh = is_int($claims['iat'] ?? null) && abs(time() - $claims['iat']) <= MAX_SIGN_OUT_AGE;
    $type = [$header['alg'] ?? '', is_string($header['typ'] ?? null) ? strtolower($header['typ']) : ''];
    if (!$fresh || $type !== ['HS256', 'logout+jwt'] || !is_string($claims['email'] ?? null)) { // no sign-in token
        http_response_code(401);
        return;
    }
    if (($_SESSION['email'] ?? '') === strtolower($claims['email'])) {
        $_SESSION = [];
    }
    show('Signed out', "$claims[email] is signed out.");
}

/** Sign a token that is good once, for a minute; send it to the service with what the service sent to us. */
function sendToken(string $email): void
{
    global $people, $serviceUrl;
    $claims = ['iat' => time(), 'jti' => base64Url(random_bytes(16)), 'exp' => time() + TOKEN_LIFETIME];
    $claims['email'] = $email;
    $claims += array_intersect_key($people[$email], ['given_name' => '', 'family_name' => '']);
    $echo = array_filter(array_intersect_key($_GET, ['nonce' => '', 'return_to' => '']), 'is_string');
    $claims += array_intersect_key($echo, ['nonce' => '']);
    $signed = base64Url('{"alg":"HS256","typ":"JWT"}') . '.' . base64Url(json_encode($claims, JSON_THROW_ON_ERROR));
    header("Location: $serviceUrl?" . http_build_query(['jwt' => "$signed." . sign($signed)] + $echo), true, 303);
}

function sign(string $text): string
{
    global $serviceKey;
    return base64Url(hash_hmac('sha256', $text, $serviceKey, true));
}

function signedIn(): bool
{
    global $people;
    return isset($people[$_SESSION['email'] ?? '']) && $_SESSION['since'] > time() - SESSION_LIFETIME;
}

function base64Url(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

function showForm(string $problem = '', int $status = 200): void
{
    http_response_code($status);
    $_SESSION['csrf'] ??= bin2hex(random_bytes(16));
    show('Sign in', $problem, <<<HTML
        <form method="post"><input type="hidden" name="csrf" value="$_SESSION[csrf]">
        <p><label>E-mail <input name="email" type="email" autocomplete="username" required></label>
        <p><label>Password <input name="password" type="password" autocomplete="current-password" required></label>
        <p><button>Sign in</button></form>
        HTML);
}

function show(string $title, string $text, string $form = ''): void
{
    $text = $text === '' ? '' : '<p role="alert">' . htmlspecialchars($text) . '</p>';
    echo '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        "<title>$title</title><main><h1>$title</h1>$text$form</main></html>\n";
}
